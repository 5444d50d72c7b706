"""The paper's claims as data: what it says, where, and how each can be checked. `checks/claims/` has the verdicts."""
