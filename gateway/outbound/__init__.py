"""Calls that we place: whether we may, one attempt, and the HTTP interface to it."""
