"""What is kept of a call and what is worked out from it: journal, recording, latency, cost, timeline, picture."""
