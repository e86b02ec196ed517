"""What people ask for beside a run: a price, a pilot, where it stands, a decision, a cleaning."""
