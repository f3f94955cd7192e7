"""The gateway: REST, streams for browsers and webhooks, over the contract alone."""
