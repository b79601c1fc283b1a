"""What can be watched: `/metrics` for Prometheus, and `/monitor`, a page that shows the same without Grafana."""
