# Receives webhooks: `SECRET=whsec_… ruby webhook.rb` listens on 9000. It needs Ruby 3.1 or newer and nothing else.

require 'base64'
require 'json'
require 'openssl'
require 'socket'

AGE = 300

# The event of a post that is signed (Standard Webhooks) and not old; raises where it is not. `body` is as it came.
def verify_webhook(secret, headers, body, now = Time.now)
  id, timestamp, signatures = %w[id timestamp signature].map { |name| headers["webhook-#{name}"].to_s }
  raise ArgumentError, 'headers are missing' if id.empty? || signatures.empty? || !timestamp.match?(/\A[0-9]{1,15}\z/)
  raise ArgumentError, 'too old, or from the future' if (now.to_i - timestamp.to_i).abs > AGE

  key = Base64.decode64(secret.delete_prefix('whsec_'))
  right = "v1,#{Base64.strict_encode64(OpenSSL::HMAC.digest('SHA256', key, "#{id}.#{timestamp}.".b + body))}"
  # While a secret is being replaced there are two.
  good = signatures.split.any? { |each| OpenSSL.secure_compare(each, right) }
  raise ArgumentError, 'not signed with this secret' unless good

  JSON.parse(body).merge('id' => id)
end

# Yours is a table with a unique column, written in the transaction of what the event brings about.
seen = {}
server = TCPServer.new('127.0.0.1', Integer(ENV.fetch('PORT', '9000')))
$stdout.sync = true
puts "listens: #{server.addr[1]}"
loop do
  client = server.accept
  client.gets
  lines = client.each_line.take_while { |line| line != "\r\n" }
  headers = lines.to_h { |line| line.chomp.split(/:\s*/, 2).then { |name, value| [name.downcase, value] } }
  event = verify_webhook(ENV.fetch('SECRET'), headers, client.read(headers['content-length'].to_i))
  puts "event: #{event['id']} #{event['type']}" unless seen.key?(event['id'])
  seen[event['id']] = true
  client.write("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
rescue ArgumentError, JSON::ParserError
  client.write("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
ensure
  client&.close
end
