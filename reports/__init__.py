"""Findings as files and as documents: JSON, JUnit, Markdown with figures. The generated documents lie here too."""
