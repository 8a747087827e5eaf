"""What a person at the business, or their program, does to a live call, over HTTP and from the CLI. See README.md."""
