"""One page that tells how runs did: scripts/report.py."""
