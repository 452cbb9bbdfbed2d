use crate::*;

/// Starts an example on a free port.
pub(crate) async fn run(name: &str) -> Process {
    serve(&mut Command::new(program(name))).await
}

/// Starts a command on a free port.
pub(crate) async fn serve(command: &mut Command) -> Process {
    Process::serve(command.env("PORT", "0")).await
}

/// The packages of the examples that these tests run.
const PACKAGES: [&str; 3] = ["tower-sse", "tower-sse-redis", "tower-sse-tonic"];

/// Returns the path of an example. `cargo test` builds the examples with the tests of their own
/// package, but not if only this package or only this test is selected.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap();
    // Where Cargo puts examples, and the programs of an example that is a package.
    let mut places = [directory.join("examples"), directory.to_owned()]
        .map(|place| place.join(name).with_extension(env::consts::EXE_EXTENSION))
        .into_iter();
    places.find(|program| program.exists()).unwrap_or_else(|| {
        let packages = PACKAGES.map(|name| format!("--package {name} ")).concat();
        panic!("first run: cargo build {packages}--bins --examples --all-features")
    })
}

/// Opens a stream, after this last event id if it is not empty.
pub(crate) async fn open(address: SocketAddr, path: &str, last: &str) -> EventReader<Incoming> {
    // In fields of their own, as browsers send them over HTTP/2.
    let headers = [("cookie", "theme=dark"), ("cookie", "visitor=ann"), ("last-event-id", last)];
    EventReader::new(client::get(address, path, &headers).await)
}

/// Posts a text, and returns the text of the answer.
pub(crate) async fn post(address: SocketAddr, path: &str, text: &str) -> String {
    let headers = [("content-type", "application/json")];
    let response = client::post(address, path, &headers, text.to_owned()).await;
    assert!(response.status().is_success(), "{}", response.status());
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}
