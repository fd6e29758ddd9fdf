"""Everything between a stage and the models: prompts, requests, the ledger, engines and servers."""
