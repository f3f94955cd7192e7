# Checks a receipt as docs/receipts.md says, rule by rule. It needs Ruby 3.1 or newer and nothing else.
#
#   require_relative 'receipt'
#   Receipt.verify(approval, asked, 'https://shop.example', keys)  # => {decision: "approve", kid: "…", time: …}
#
# Approvals and keys are the contract's as JSON has them (REST and webhooks): hashes with names such as "approvalId".

require 'base64'
require 'json'
require 'openssl'
require 'time'

module Receipt
  # What a receipt breaks: `rule` is the name that docs/receipts.md gives it.
  class Error < StandardError
    attr_reader :rule

    def initialize(rule)
      @rule = rule
      super("#{rule}: not what was asked, or not what was signed")
    end
  end

  SKEW = 60
  STATES = {
    %w[APPROVAL_STATE_APPROVED DENY_REASON_UNSPECIFIED] => 'approve',
    %w[APPROVAL_STATE_DENIED DENY_REASON_CANCELED_BY_USER] => 'deny',
    %w[APPROVAL_STATE_DENIED DENY_REASON_FRAUD] => 'report_fraud'
  }.freeze
  TEXT = /"(?:[^"\\\x00-\x1f]|\\["\\])*"/
  NUMBER = /(?:0|[1-9][0-9]{0,14})/
  PAIRS = /\[(?:\[#{TEXT},#{TEXT}\](?:,\[#{TEXT},#{TEXT}\])*)?\]/
  HEADER = /\A\{"alg":"ES256","kid":"([A-Za-z0-9_-]{43})","typ":"authy-approval"\}\z/
  PAYLOAD = /\A\{"decision":"(?:approve","match_number":"[0-9]*|(?:deny|report_fraud)","match_number":")",
    "user_verified":(?:true|false),"time":#{NUMBER},"question":\{"v":1,"approval_id":#{TEXT},"authy_id":#{TEXT},
    "site_id":#{TEXT},"site":#{TEXT},"origin":#{TEXT},"message":#{TEXT},"details":#{PAIRS},"match_digits":#{NUMBER},
    "user_verification":(?:true|false),"created":#{NUMBER},"expires":#{NUMBER},"nonce":"[A-Za-z0-9_-]{22}"\}\}\z/x

  module_function

  # Checks that the user's own key signed this decision on what the site asked.
  #
  # approval: the answered one, from anywhere. asked: what CreateApproval answered, kept by the site. origin: the site's own.
  # keys: of this user, as the site has kept them since enrollment, the revoked ones too. Raises Receipt::Error.
  def verify(approval, asked, origin, keys)
    decision = STATES[[approval['state'], approval['denyReason'] || 'DENY_REASON_UNSPECIFIED']]
    demand('state', decision)
    compare_answer(approval, asked)
    kid, signed, signature, said = read(approval['receipt'].to_s)
    key = find(kid, time(asked['createTime']), keys)
    demand('receipt', key.verify('SHA256', der(signature), signed))
    question = said['question']
    demand('receipt', said['time'].between?(question['created'] - SKEW, question['expires'] + SKEW))
    compare_question(question, asked, origin)
    approves = decision == 'approve'
    demand('decision', said['decision'] == decision)
    demand('match_number', said['match_number'] == (approves ? asked['matchNumber'].to_s : ''))
    demand('user_verified', said['user_verified'] || !(approves && asked['requireUserVerification']))
    { decision: decision, kid: kid, time: Time.at(said['time']).utc }
  end

  def compare_answer(approval, asked)
    demand('approval_id', approval['approvalId'] == asked['approvalId'] && asked['approvalId'] != '')
    demand('authy_id', approval['authyId'] == asked['authyId'])
    demand('message', approval['message'].to_s == asked['message'].to_s)
    demand('details', pairs(approval) == pairs(asked))
    demand('hidden_details', (approval['hiddenDetails'] || {}) == (asked['hiddenDetails'] || {}))
    sure = [approval, asked].map { |each| each['requireUserVerification'] || false }
    demand('require_user_verification', sure.uniq.length == 1)
  end

  def compare_question(question, asked, origin)
    demand('approval_id', question['approval_id'] == asked['approvalId'])
    demand('authy_id', question['authy_id'] == asked['authyId'])
    demand('origin', question['origin'] == origin)
    demand('message', question['message'] == asked['message'].to_s)
    demand('details', question['details'] == pairs(asked))
    demand('require_user_verification', question['user_verification'] == (asked['requireUserVerification'] || false))
    demand('match_digits', question['match_digits'] == asked['matchNumber'].to_s.length)
    demand('create_time', question['created'] == time(asked['createTime']).to_i)
    demand('expire_time', question['expires'] == time(asked['expireTime']).to_i)
  end

  # Takes a receipt apart; what is not in the fixed form has no parts.
  def read(receipt)
    parts = receipt.split('.', -1)
    demand('receipt', receipt.length <= 65_536 && parts.length == 3)
    header, payload, signature = parts.map { |part| decode(part) }
    named = HEADER.match(header)
    text = payload.force_encoding('UTF-8')
    demand('receipt', named && text.valid_encoding? && PAYLOAD.match?(text) && signature.bytesize == 64)
    [named[1], parts.first(2).join('.'), signature, JSON.parse(text)]
  end

  def decode(part)
    bytes = Base64.urlsafe_decode64(part)
    demand('receipt', Base64.urlsafe_encode64(bytes, padding: false) == part)
    bytes
  rescue ArgumentError
    raise Error, 'receipt'
  end

  # The public key that a receipt names: by its own thumbprint (RFC 7638), since a name alone is no key.
  def find(kid, asked_at, keys)
    found = nil
    keys.each do |each|
      next unless each['kid'] == kid && (key = parse(each['jwk'].to_s, kid))

      demand('kid', !each['revokeTime'] || time(each['revokeTime']) > asked_at)
      found = key
    end
    demand('kid', found)
    found
  end

  def parse(text, kid)
    jwk = JSON.parse(text)
    return unless jwk.is_a?(Hash) && jwk['kty'] == 'EC' && jwk['crv'] == 'P-256'

    own = JSON.generate(%w[crv kty x y].to_h { |name| [name, jwk[name]] })
    return unless own == text && Base64.urlsafe_encode64(OpenSSL::Digest::SHA256.digest(own), padding: false) == kid

    point = "\x04".b + %w[x y].map { |name| Base64.urlsafe_decode64(jwk[name]) }.join
    names = [OpenSSL::ASN1::ObjectId('id-ecPublicKey'), OpenSSL::ASN1::ObjectId('prime256v1')]
    info = OpenSSL::ASN1::Sequence([OpenSSL::ASN1::Sequence(names), OpenSSL::ASN1::BitString(point)])
    OpenSSL::PKey::EC.new(info.to_der)
  rescue JSON::ParserError, ArgumentError, OpenSSL::PKey::PKeyError
    nil
  end

  # A signature of r and s as OpenSSL takes it.
  def der(signature)
    halves = signature.unpack('a32a32').map { |half| OpenSSL::ASN1::Integer(OpenSSL::BN.new(half, 2)) }
    OpenSSL::ASN1::Sequence(halves).to_der
  end

  def demand(rule, holds)
    raise Error, rule unless holds
  end

  def pairs(approval)
    (approval['details'] || []).map { |each| [each['label'].to_s, each['value'].to_s] }
  end

  # To the nanosecond: Ruby's times are exact.
  def time(text)
    Time.iso8601(text)
  end
end
