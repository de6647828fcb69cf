//! `gridflex access second-factor`: the person's app is the standard's formula in Python, which knows nothing of our code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{gridflex, text, words};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// RFC 6238 over HMAC-SHA-1, as an app has it.
const APP: &str = "
import base64, hashlib, hmac, struct, sys, time
from urllib.parse import urlparse, parse_qs
address = urlparse(sys.argv[1])
asked = {name: values[0] for name, values in parse_qs(address.query).items()}
assert (address.scheme, address.netloc, address.path) == ('otpauth', 'totp', '/gridflex:ada'), address
assert (asked['algorithm'], asked['digits'], asked['period']) == ('SHA1', '6', '30'), asked
step = struct.pack('>Q', int(time.time()) // 30)
mac = hmac.new(base64.b32decode(asked['secret']), step, hashlib.sha1).digest()
at = mac[-1] & 15
print('%06d' % ((struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 10**6))
";

fn app(address: &str) -> String {
    let answer = Command::new("python3").args(["-c", APP, address]).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}

/// Runs the command, and types what `typed` makes of the address it shows. Exit code, and what else it said.
fn second_factor(file: &Path, typed: impl FnOnce(&str) -> String) -> (i32, String) {
    let mut command = gridflex(["access", "second-factor", "ada", "--file", text(file)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut address = String::new();
    out.read_line(&mut address).unwrap();
    let typed = typed(address.trim());
    writeln!(child.stdin.take().unwrap(), "{typed}").unwrap();
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code().unwrap(), said)
}

#[test]
fn a_second_factor_is_kept_when_the_app_shows_the_right_code_and_taken_away_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.json");
    let in_file = |arguments: &[&str], input: &str| -> Output {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--file", text(&file)]).collect();
        let mut command = gridflex(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who is refused at once reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let unknown = in_file(&["access", "second-factor", "ada"], "123456\n");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(words(&unknown).contains("nobody is called ada"), "{}", words(&unknown));
    assert!(
        in_file(&["access", "add", "ada", "--role", "operator"], "a long enough secret").status.success()
    );
    let has_one = || {
        let listed = in_file(&["access", "list", "--json"], "");
        serde_json::from_slice::<serde_json::Value>(&listed.stdout).unwrap()[0]["second_factor"] == true
    };

    let (code, said) = second_factor(&file, |_| "nonsense".to_owned());
    assert_eq!((code, said.contains("nothing was changed"), has_one()), (2, true, false), "{said}");
    let mut address = String::new();
    let (code, said) = second_factor(&file, |shown| {
        shown.clone_into(&mut address);
        let code = app(shown);
        format!("{} {}", &code[..3], &code[3..])
    });
    assert_eq!((code, has_one()), (0, true), "{said}");
    let secret = address.split_once("secret=").unwrap().1.split('&').next().unwrap();
    assert!(!said.contains(secret) && !words(&in_file(&["access", "list"], "")).contains(secret));

    assert!(in_file(&["access", "second-factor", "ada", "--remove"], "").status.success());
    assert!(!has_one());
}
