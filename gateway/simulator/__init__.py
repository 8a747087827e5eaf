"""Test doubles that are products of their own: a telephone network, a Realtime server, callers.

Never imported by the serving path.
"""
