"""The admin site: our pages in SQLAdmin, closed by default (law 15)."""
