-- Who signs in says an address and no tenant: users are found by it in all of them.
create index log_claim_user_email on log_claim (key) where scope = 'user.email';
