"""What is verified: plain functions that yield findings, shared by pytest, the command line and the reports."""
