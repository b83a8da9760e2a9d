use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;

use domain::ReplicaId;
use gateway::{Moved, SharedSocket};

use super::messages::YOURS;
use super::wire::{SOCKET, TOGETHER, short, write_line};
use super::{Door, Predecessor, Successor};

fn sockets(count: usize) -> Vec<SharedSocket> {
    (0..count)
        .map(|at| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            SharedSocket { addr: socket.local_addr().unwrap(), encrypted: at % 2 == 1, socket: socket.into() }
        })
        .collect()
}

#[tokio::test]
async fn every_socket_arrives_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Predecessor::find(folder.path()).unwrap().is_none(), "nobody runs here");
    let given = sockets(TOGETHER * 2 + 3);
    let expected: Vec<_> = given.iter().map(|socket| (socket.addr, socket.encrypted)).collect();
    let door = Door::open(folder.path(), given).unwrap();
    let path = folder.path().to_owned();
    let taking = tokio::task::spawn_blocking(move || {
        let mut found = Predecessor::find(&path).unwrap().unwrap();
        found.step_aside().unwrap();
        for socket in &found.sockets {
            let listens = TcpListener::from(socket.socket.try_clone().unwrap());
            assert_eq!(listens.local_addr().unwrap(), socket.addr);
        }
        let told: Vec<_> = found.sockets.iter().map(|socket| (socket.addr, socket.encrypted)).collect();
        found.is_replaced().unwrap();
        let (mut adopted, heard) = (Vec::new(), RefCell::new(Vec::new()));
        let adopt = |moved: Moved| adopted.push((moved.is_new, moved.ahead));
        found.brings(adopt, |busy| heard.borrow_mut().push(busy)).unwrap();
        (told, adopted, heard.into_inner())
    });
    let heir = door.knocked().await.takes().await.unwrap();
    let (sender, connections) = mpsc::channel();
    let expect = |at: usize| (at % 3 == 1, vec![at as u8; at * 1_000]);
    for (at, socket) in sockets(150).into_iter().enumerate() {
        let (is_new, ahead) = expect(at);
        sender.send(Moved { connection: socket.socket, ahead, is_new }).unwrap();
    }
    drop(sender);
    let busy = BTreeMap::from([(ReplicaId::new("r1"), 2)]);
    let bring = busy.clone();
    tokio::task::spawn_blocking(move || heir.gets(&connections, || bring.clone()).unwrap()).await.unwrap();
    let (told, adopted, heard) = taking.await.unwrap();
    assert_eq!(told, expected);
    assert_eq!(adopted, (0..150).map(expect).collect::<Vec<_>>());
    assert_eq!(heard.first(), Some(&busy));
}

#[tokio::test]
async fn one_that_breaks_off_is_not_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::open(folder.path(), sockets(1)).unwrap();
    let path = folder.path().to_owned();
    let taking = tokio::task::spawn_blocking(move || {
        let mut stranger = UnixStream::connect(path.join(SOCKET)).unwrap();
        stranger.write_all(b"hello?\n").unwrap();
        drop(Predecessor::find(&path).unwrap());
        Predecessor::find(&path).unwrap().unwrap().step_aside().unwrap();
    });
    let successor = door.knocked().await;
    let waiting = successor.takes().await;
    taking.await.unwrap();
    assert!(waiting.unwrap_err().to_string().contains("waiting for `serving`"));
}

#[tokio::test]
async fn who_ends_before_it_is_replaced_leaves_everything_to_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::open(folder.path(), sockets(1)).unwrap();
    let path = folder.path().to_owned();
    let (ends, ended) = mpsc::channel::<()>();
    let taking = tokio::task::spawn_blocking(move || {
        let mut found = Predecessor::find(&path).unwrap().unwrap();
        found.step_aside().unwrap();
        let _ = ended.recv();
        assert!(!found.is_replaced().unwrap());
        found
    });
    let Successor(mut stream) = door.knocked().await;
    write_line(&mut stream, YOURS).unwrap();
    door.close();
    drop(stream);
    drop(ends);
    let found = taking.await.unwrap();
    let socket = TcpListener::from(found.sockets[0].socket.try_clone().unwrap());
    assert!(std::net::TcpStream::connect(socket.local_addr().unwrap()).is_ok(), "it accepts there");
    assert!(Predecessor::find(folder.path()).unwrap().is_none(), "nobody finds the former one");
    assert!(!folder.path().join(SOCKET).exists());
}

#[test]
fn a_long_path_is_told() {
    let long = format!("/{}", "x".repeat(120));
    assert!(short(Path::new(&long)).unwrap_err().to_string().contains("too long"));
}
