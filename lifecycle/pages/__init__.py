"""What engineers look at while a model lives: drift, and a shadow beside production. On the service's pages."""
