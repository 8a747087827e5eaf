"""`gateway simulate tools`: what a business's own log says after a thousand calls that went wrong in the middle of a
function call.

`run.py` says what happens and judges it, `stage.py` runs one call, `life.py` is a gateway process that can be killed,
`shop.py` the business, `clerk.py` the model.
"""
