"""From sites to dies, wafers and lots: geometry, bins, signatures, KLARF, and when to stop."""
