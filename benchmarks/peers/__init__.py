"""What users compare with: other second factors, each in its documented production settings."""
