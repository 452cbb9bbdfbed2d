use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionAddr};
use tokio::{task::JoinSet, time::timeout};

use super::servers::{ACTION, Failures, Servers, address, dial, redirect};
use crate::server::error::failed;
use crate::{Error, ErrorKind};

/// How long to wait for each further Sentinel's answer once one has named a primary. With TLS and a
/// password, an answer takes four round trips.
const OTHERS: Duration = Duration::from_secs(1);

/// Asks all Sentinels at once for the primary's address. Returns a client for each address, with
/// the number of Sentinels that name it. The host in the program's URL is the primary's name. The
/// URL's other settings apply to the returned clients.
///
/// The first Sentinel to answer can be one that is cut off from the others. So this function waits
/// until more than half of the Sentinels name the same address, all have answered, or the remaining
/// ones are late.
pub(crate) async fn find_primaries(servers: &Servers) -> Result<Vec<(Client, usize)>, Error> {
    let Servers { clients, sentinels, timeout: limit, .. } = servers;
    let client = clients.first().map(|client| (client, client.get_connection_info().addr()));
    let Some((
        client,
        ConnectionAddr::Tcp(primary, _) | ConnectionAddr::TcpTls { host: primary, .. },
    )) = client
    else {
        return Err(failed(ACTION, "the URL has no host, which is the primary's name"));
    };
    // The configuration for servers can't be used: it can have a receiver for pushes, which needs
    // the protocol RESP3, and the Sentinels' clients don't use that.
    let timeouts = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(*limit))
        .set_response_timeout(Some(*limit));
    let mut attempts = JoinSet::new();
    for sentinel in sentinels {
        let (sentinel, address) = (sentinel.clone(), address(sentinel));
        let (config, primary) = (timeouts.clone(), primary.clone());
        attempts.spawn(async move {
            ask(&sentinel, &primary, &config).await.map_err(|error| (address, error))
        });
    }
    let mut failures = Failures::default();
    let mut named: Vec<(Client, usize)> = Vec::new();
    // Each attempt has its own time limit, so the wait for the first answer needs no limit.
    let mut patience = Duration::MAX;
    while let Ok(Some(attempt)) = timeout(patience, attempts.join_next()).await {
        match attempt {
            Ok(Ok((host, port))) => {
                patience = OTHERS;
                let Some(found) = redirect(client, &format!("{host}:{port}")) else { continue };
                match named.iter_mut().find(|(it, _)| address(it) == address(&found)) {
                    Some((_, votes)) => *votes += 1,
                    None => named.push((found, 1)),
                }
                if named.iter().any(|(_, votes)| votes * 2 > sentinels.len()) {
                    break;
                }
            }
            Ok(Err(failure)) => failures.0.push(failure),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }
    if named.is_empty() {
        return Err(failures.into_error("no Sentinel names a primary"));
    }
    Ok(named)
}

/// Asks a Sentinel for the primary's host and port.
async fn ask(
    sentinel: &Client,
    primary: &str,
    config: &AsyncConnectionConfig,
) -> Result<(String, String), Error> {
    let mut connection = dial(sentinel, config).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
    let answer = connection.send_packed_command(&command).await;
    let answer: Option<(String, String)> = answer
        .and_then(|answer| Ok(redis::from_redis_value(answer.extract_error()?)?))
        .map_err(|error| failed("ask Sentinel", error))?;
    let unknown = || format!("Sentinel knows no primary named `{primary}`");
    answer.ok_or_else(|| Error::new(ACTION, ErrorKind::Other, unknown()))
}
