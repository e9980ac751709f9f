//! SHA-256 in base 64, by which a Content-Security-Policy names the scripts that may run.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// The source expression that allows exactly `text` to run: `sha256-…`.
pub(super) fn source_of(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_script_is_its_digest() {
        // echo -n "doSomething();" | openssl dgst -sha256 -binary | base64
        assert_eq!(source_of("doSomething();"), "sha256-RFWPLDbv2BY+rCkDzsE+0fr8ylGr2R2faWMhq4lfEQc=");
    }
}
