//! The page is embedded at compile time: compile again when it was built anew.

use std::path::Path;

fn main() {
    // A path that does not exist counts as changed each time. Before the first build of the page, the directory in which
    // it will be is watched instead.
    let built = Path::new("../web/dist");
    let watched = if built.exists() { "../web/dist" } else { "../web" };
    println!("cargo:rerun-if-changed={watched}");
}
