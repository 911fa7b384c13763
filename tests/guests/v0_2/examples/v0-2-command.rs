//! A plain Rust program, which on this target is a command of WASI 0.2: its first argument names what it does.
//!
//! It speaks to WASI through the standard library alone, as most programs of that time do.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let done = match words.as_slice() {
        ["environment", ..] => environment(),
        ["exit", code] => std::process::exit(code.parse().unwrap()),
        ["return", code] => return ExitCode::from(code.parse::<u8>().unwrap()),
        ["panic"] => panic!("on purpose"),
        ["copy"] => io::copy(&mut io::stdin(), &mut io::stdout()).map(|_| ()),
        ["files", directory] => files(directory),
        ["read", path] => read(path),
        ["clocks"] => clocks(),
        ["random"] => random(),
        ["tcp", address] => tcp(address),
        ["udp", address] => udp(address),
        ["resolve", name] => resolve(name),
        other => panic!("{other:?} is nothing to do"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error {:?}", error.kind());
            ExitCode::SUCCESS
        }
    }
}

fn environment() -> io::Result<()> {
    for argument in std::env::args() {
        println!("argument {argument:?}");
    }
    for (name, value) in std::env::vars() {
        println!("variable {name:?} {value:?}");
    }
    Ok(())
}

/// Every kind of change, and what is left of it.
fn files(directory: &str) -> io::Result<()> {
    let path = |name: &str| format!("{directory}/{name}");
    fs::create_dir(path("inner"))?;
    fs::write(path("inner/one"), "first")?;
    fs::OpenOptions::new()
        .append(true)
        .open(path("inner/one"))?
        .write_all(b" and second")?;
    fs::rename(path("inner/one"), path("two"))?;
    fs::copy(path("two"), path("three"))?;
    fs::OpenOptions::new().write(true).open(path("three"))?.set_len(5)?;
    fs::hard_link(path("three"), path("four"))?;
    fs::remove_dir(path("inner"))?;
    println!("two {:?}", fs::read_to_string(path("two"))?);
    println!(
        "three {:?} {}",
        fs::read_to_string(path("three"))?,
        fs::metadata(path("three"))?.len()
    );
    fs::remove_file(path("four"))?;
    let mut names: Vec<String> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name().into_string().unwrap()))
        .collect::<io::Result<_>>()?;
    names.sort();
    println!("names {names:?}");
    Ok(())
}

fn read(path: &str) -> io::Result<()> {
    println!("content {:?}", fs::read_to_string(path)?);
    Ok(())
}

fn clocks() -> io::Result<()> {
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    println!("slept {}", start.elapsed().as_nanos());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    println!("now {}", now.as_secs());
    Ok(())
}

/// Two hashers of the standard library never share their keys by chance.
fn random() -> io::Result<()> {
    println!("random {:x}", RandomState::new().hash_one("same"));
    Ok(())
}

/// Both ends of one connection; each closes its own half.
fn tcp(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, peer) = listener.accept()?;
    println!("peer {}", peer == client.local_addr()?);
    client.write_all(b"question")?;
    client.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    server.read_to_string(&mut text)?;
    println!("server {text:?}");
    server.write_all(b"answer")?;
    drop(server);
    text.clear();
    client.read_to_string(&mut text)?;
    println!("client {text:?}");
    Ok(())
}

fn udp(address: &str) -> io::Result<()> {
    let one = UdpSocket::bind(address)?;
    let other = UdpSocket::bind(address)?;
    one.send_to(b"datagram", other.local_addr()?)?;
    let mut bytes = [0; 64];
    let (length, from) = other.recv_from(&mut bytes)?;
    println!(
        "received {:?} {}",
        String::from_utf8_lossy(&bytes[..length]),
        from == one.local_addr()?
    );
    Ok(())
}

fn resolve(name: &str) -> io::Result<()> {
    let mut addresses: Vec<String> = (name, 0)
        .to_socket_addrs()?
        .map(|address| address.ip().to_string())
        .collect();
    addresses.sort();
    addresses.dedup();
    println!("addresses {}", addresses.join(" "));
    Ok(())
}
