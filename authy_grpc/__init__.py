"""An authenticator service that gives relying sites a second factor and no personal data."""
