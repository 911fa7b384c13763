//! Serving and calling over HTTP.
