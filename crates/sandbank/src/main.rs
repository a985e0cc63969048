//! sandbank
fn main() {}
