//! Carries updates and creates out over many files at once, retries, parks what fails.
