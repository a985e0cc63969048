//! The crate `dialects` of sandbank; see ARCHITECTURE.md.
