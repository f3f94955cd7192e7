# A site's whole story over REST: enroll, a first code, an approval with its receipt, the event feed.
#
#   AUTHY_API_KEY=ak_… ruby site.rb user-18
#
# What it must not forget it keeps in site.json. Stop it anywhere, start it again: it goes on, and nothing comes twice.

require 'json'
require 'net/http'
require_relative 'receipt'

REST = URI(ENV.fetch('AUTHY_REST', 'http://127.0.0.1:8080'))
ORIGIN = ENV.fetch('SITE', 'https://shop.example')
STATE = File.exist?('site.json') ? JSON.parse(File.read('site.json')) : { 'cursor' => 'earliest' }
$stdout.sync = true

def keep(changes)
  File.write('site.json.new', JSON.generate(STATE.merge!(changes)), perm: 0o600)
  File.rename('site.json.new', 'site.json') # whole or not at all
end

def open(timeout, &)
  Net::HTTP.start(REST.host, REST.port, use_ssl: REST.scheme == 'https', read_timeout: timeout, &)
end

def headers(more = {})
  { 'authorization' => "Bearer #{ENV.fetch('AUTHY_API_KEY')}", 'content-type' => 'application/json' }.merge(more)
end

# A call. A `requestId` in the body makes it safe to send again. What is refused is told in words.
def post(path, body)
  answer = open(10) { |http| http.post(path, JSON.generate(body), headers) }
  said = JSON.parse(answer.body)
  abort "refused: #{said['message']} #{answer['retry-after']}" unless answer.code == '200'
  said
end

# What a stream brings, each with its id. One that is cut is opened again after the last id, until the block says :over.
def watch(path, last)
  pause = 0.1
  loop do
    # A comment comes each 15 seconds: what is silent for longer is dead.
    open(40) do |http|
      http.request_get(path, headers(last ? { 'last-event-id' => last } : {})) do |answer|
        raise "#{path}: #{answer.read_body}" if answer.code.start_with?('4')

        rest = +''
        answer.read_body do |part|
          pause = 0.1
          rest << part
          while (event = rest.slice!(/\A.*?\n\n/m))
            id, kind, data = %w[id event data].map { |name| event[/^#{name}: (.*)$/, 1] }
            next if data.nil? || kind == 'error'
            return if kind == 'end'
            yield JSON.parse(data), last = id
          end
        end
      end
    end
  rescue IOError, SystemCallError, Timeout::Error
    sleep(pause = [pause * 2, 30].min)
  end
end

unless STATE['enrollment']
  made = post('/v1/enrollments', { customUserId: ARGV[0], requestId: "enroll-#{ARGV[0]}" })
  keep('enrollment' => made['enrollment'], 'link' => made['qr']['uri'])
end
unless STATE['user']
  puts "scan: #{STATE['link']}"
  watch("/v1/enrollments/#{STATE['enrollment']['enrollmentId']}:watch", STATE['seen']) do |message, id|
    enrollment = message['enrollment']
    ended = enrollment['authyId'] != ''
    keep({ 'seen' => id }.merge(ended ? { 'user' => enrollment['authyId'], 'keys' => enrollment['keys'] } : {}))
    puts "enrollment: #{enrollment['state'].delete_prefix('ENROLLMENT_STATE_')}"
  end
  exit 1 unless STATE['user']
end
until STATE['verified']
  puts 'code?'
  answer = post("/v1/users/#{STATE['user']}:verifyCode", { code: $stdin.gets.strip })
  puts "code: #{answer['result']}"
  keep('verified' => answer['result'] == 'CODE_RESULT_ACCEPTED')
end
unless STATE['asked']
  question = { message: 'Log in?', requestId: "login-#{STATE['enrollment']['enrollmentId']}" }
  keep('asked' => post("/v1/users/#{STATE['user']}/approvals", question)['approval'])
end
unless STATE['decision']
  puts "number: #{STATE['asked']['matchNumber']}"
  answer = nil
  watch("/v1/approvals/#{STATE['asked']['approvalId']}:watch", nil) { |message, _| answer = message['approval'] }
  keep('decision' => Receipt.verify(answer, STATE['asked'], ORIGIN, STATE['keys'])[:decision])
  puts "receipt: #{STATE['decision']}"
end
watch('/v1/events:watch', STATE['cursor']) do |message, cursor|
  # Yours writes what the event brings about and the cursor in one transaction.
  keep('cursor' => cursor)
  puts "event: #{message['event']['eventId']} #{message['event']['type']}" if message['event']
end
