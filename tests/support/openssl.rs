//! Certificates, which `openssl` makes.

use std::{fs::write, path::Path, process::Command};

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// Makes `NAME.crt` and `NAME.key` in a directory: a self-signed certificate, with additional
/// options of `openssl req`.
pub fn self_signed(directory: &Path, name: &str, subject: &str, options: &str) {
    let files = format!("-keyout {name}.key -out {name}.crt -days 2 -subj /CN={subject}");
    openssl(directory, &format!("req -x509 {KEY} {files} {options}"));
}

pub fn site(directory: &Path) {
    let options = "-addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE";
    self_signed(directory, "site", "localhost", options);
}

pub fn signed(directory: &Path, name: &str, authority: &str, subject: &str, options: &str) {
    write(directory.join("names"), format!("subjectAltName=DNS:{subject}")).unwrap();
    let request = format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={subject}");
    openssl(directory, &request);
    openssl(
        directory,
        &format!(
            "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial \
             -out {name}.crt -extfile names {options}"
        ),
    );
}

pub fn openssl(directory: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split_ascii_whitespace()).current_dir(directory);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
