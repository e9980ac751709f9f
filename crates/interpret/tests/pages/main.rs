//! From a fit to the report's page, with any tokens and many features.

mod any_text;
mod fixtures;
mod large;
mod reading;
