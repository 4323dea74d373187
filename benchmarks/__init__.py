"""Scripts that write the numbers quoted in the README: each makes one JSON in results/, with machine, versions, date and command."""
