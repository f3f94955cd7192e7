"""What leaves this service for others than its callers: text messages, and posts to webhooks."""
