//! The page is embedded at compile time: compile again when it was built anew.

fn main() {
    // A path that does not exist counts as changed, so the first build of the page is noticed too.
    println!("cargo:rerun-if-changed=../web/dist");
}
