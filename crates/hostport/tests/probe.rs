//! `hostport probe` in an image that holds the program and nothing else.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Command,
};

#[test]
fn no_certificate_authorities_are_needed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok\n").unwrap();
    });
    let mut probe = Command::new(env!("CARGO_BIN_EXE_hostport"));
    probe.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");

    let done = probe.args(["probe", &url, "--timeout", "10"]).output().unwrap();

    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), format!("{url}: ok\n"), "{said}");
    server.join().unwrap();
}
