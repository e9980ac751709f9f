//! From a fit to the report's page: whatever the tokens are, and however many.

mod any_text;
mod fixtures;
mod large;
