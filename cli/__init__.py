"""Words for people: the `qiong` command, one module per group of commands.

`client.py` speaks HTTP to validators and is the only module here with an event loop; `verified.py`
checks what they answer; `sender.py` gets files of rows committed exactly once. The rest turns
arguments into calls of these and results into lines or JSON.
"""
