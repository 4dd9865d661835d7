//! What the pods of tests run. `echo PORT` answers on that port with the name of its pod: HTTP over TCP, and what it was
//! sent over UDP. `echo pause` does nothing: it holds the namespaces of a pod.

use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
use std::{env, fs, thread};

fn main() -> Result<()> {
    let argument = env::args().nth(1).or_else(|| env::var("PORT").ok());
    let argument = argument.as_deref().unwrap_or("8080");
    if argument == "pause" {
        loop {
            thread::park();
        }
    }
    let port: u16 = argument.parse().map_err(|_| {
        std::io::Error::other(format!("{argument:?} is no port: say `echo 8080` or `echo pause`"))
    })?;
    serve(port)
}

fn serve(port: u16) -> Result<()> {
    // The kernel's name of a container is that of its pod.
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
    let datagrams = UdpSocket::bind(("0.0.0.0", port))?;
    let connections = TcpListener::bind(("0.0.0.0", port))?;
    println!("{name} listens on {port}");

    let pod = name.clone();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
            let said = String::from_utf8_lossy(&buffer[..length]);
            let _ = datagrams.send_to(format!("{pod}: {said}").as_bytes(), from);
        }
    });
    for connection in connections.incoming().flatten() {
        let pod = name.clone();
        thread::spawn(move || answer(connection, &pod));
    }
    Ok(())
}

/// Reads a request to the end of its head: who gets an answer to half a request may see it cut off.
fn answer(mut connection: TcpStream, pod: &str) -> Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let head = BufReader::new(connection.try_clone()?).lines();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!("{pod}\n");
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
