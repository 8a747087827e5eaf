"""Function calls of the model, carried out: argument checks, signed business webhooks, the address guard."""
