//! The example as one process or as three over Redis, with its model and its page in an engine.

use crate::engine::OpenEngine;
use crate::redis_server;
use crate::support::{Process, example_program};

use super::{api::Api, front::Front, *};

/// Longer than any test, so that the proxy cuts no response.
const NEVER: Duration = Duration::from_secs(3600);
/// The seconds of a `PROXY_TIMEOUT` with which the early head comes at once.
pub(crate) const SOON: f64 = 0.02;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Store {
    /// One process.
    Memory,
    /// Three processes.
    Redis,
}

/// The moment of an answer at which something happens to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    Silence,
    Middle,
}

impl Moment {
    pub(crate) const BOTH: [Self; 2] = [Self::Silence, Self::Middle];

    pub(crate) const fn words(self) -> usize {
        match self {
            Self::Silence => 0,
            Self::Middle => 3,
        }
    }
}

pub(crate) struct Rig {
    pub(crate) api: Api,
    api_url: String,
    pub(crate) front: Front,
    pub(crate) processes: Vec<Process>,
    redis: Option<redis_server::Server>,
    /// `None` until the processes listen.
    engine: Option<OpenEngine>,
}

impl Rig {
    /// Returns `None` if a program is missing.
    pub(crate) async fn start(engine: Engine, store: Store) -> Option<Self> {
        Self::behind(engine, store, NEVER, SOON).await
    }

    /// Starts a rig behind a proxy that cuts a response after `limit` without a byte.
    pub(crate) async fn behind(
        engine: Engine,
        store: Store,
        limit: Duration,
        proxy_timeout: f64,
    ) -> Option<Self> {
        let redis = match store {
            Store::Memory => None,
            Store::Redis => Some(redis_server::Server::start().await?),
        };
        let (api, front) = (Api::default(), Front::start(limit).await);
        let api_url = format!("http://{}/v1", api.serve().await);
        let url = format!("http://{}/", front.address);
        let mut rig = Self { api, api_url, front, processes: Vec::new(), redis, engine: None };
        for _ in 0..if store == Store::Redis { 3 } else { 1 } {
            rig.add_process(proxy_timeout).await;
        }
        rig.engine = Some(engine.open(&url).await?);
        Some(rig)
    }

    /// Starts one more process, which gets requests from now on. On a busy machine, Redis can be too
    /// slow for it. It then ends before it listens, and is started again, as by a supervisor.
    pub(crate) async fn add_process(&mut self, proxy_timeout: f64) {
        let mut command = Command::new(example_program("assistant"));
        command.env("PORT", "0").env("PROXY_TIMEOUT", proxy_timeout.to_string());
        command.env("OPENAI_API_KEY", "secret").env("OPENAI_BASE_URL", &self.api_url);
        match &self.redis {
            Some(redis) => command.env("REDIS_URL", redis.url()),
            None => command.env_remove("REDIS_URL"),
        };
        let started = match &self.redis {
            Some(_) => Process::serve_or_end(&mut command).await,
            None => None,
        };
        self.processes.push(match started {
            Some(process) => process,
            None => Process::serve(&mut command).await,
        });
        self.lead_to_processes();
    }

    /// Removes the process that got the last request of this method for an answer.
    pub(crate) fn remove_process(&mut self, method: &Method) -> Process {
        let address = self.front.server_of(method);
        let index = self.processes.iter().position(|process| process.address == address);
        let removed = self.processes.swap_remove(index.expect("a process"));
        self.lead_to_processes();
        removed
    }

    fn lead_to_processes(&self) {
        self.front.lead_to(self.processes.iter().map(|process| process.address));
    }

    /// Kills the process that got the last request of this method for an answer and starts another.
    pub(crate) async fn kill(&mut self, method: &Method) {
        self.remove_process(method).kill().await;
        self.add_process(SOON).await;
    }

    /// Asks a question and waits until the page shows the answer up to this moment.
    pub(crate) async fn ask(&self, moment: Moment) {
        let (calls, heads) = (self.api.calls(), self.front.heads());
        self.front.until("document.readyState === 'complete' && (document.getElementById('ask').click(), true)").await;
        self.shows(0, "thinking").await;
        until(|| self.api.calls() > calls && self.front.heads() > heads).await;
        self.api.say(moment.words()).await;
        self.stays(moment).await;
    }

    /// Reloads the page and waits until it shows its answer again.
    pub(crate) async fn reload(&self, moment: Moment) {
        let heads = self.front.heads();
        self.front.reload().await;
        until(|| self.front.heads() > heads).await;
        self.stays(moment).await;
    }

    async fn stays(&self, moment: Moment) {
        let state = if moment == Moment::Silence { "thinking" } else { "answering" };
        self.shows(moment.words(), state).await;
    }

    /// Lets the model send the rest and waits until the page has all words once.
    pub(crate) async fn complete(&self, moment: Moment) {
        self.api.say(WORDS - moment.words()).await;
        self.shows(WORDS, "done").await;
        self.api.is_idle().await;
    }

    /// Waits until the page shows the first words of the answer and this state.
    pub(crate) async fn shows(&self, words: usize, state: &str) {
        self.front.until(&is_shown("window", words, state)).await;
    }

    /// Opens the answer in a second tab too.
    pub(crate) async fn open_tab(&self, moment: Moment) {
        let heads = self.front.heads();
        self.front.until("(window.tab = open('/?tab' + location.hash), true)").await;
        until(|| self.front.heads() > heads).await;
        let state = if moment == Moment::Silence { "thinking" } else { "answering" };
        self.tab_shows(moment.words(), state).await;
    }

    pub(crate) async fn tab_shows(&self, words: usize, state: &str) {
        self.front.until(&is_shown("tab", words, state)).await;
    }

    pub(crate) async fn close_tab(&self) {
        self.front.until("(tab.close(), true)").await;
    }
}

/// Returns an expression that says whether a page shows these words and this state.
fn is_shown(page: &str, words: usize, state: &str) -> String {
    let answer: String = (1..=words).map(|word| format!("{word} ")).collect();
    let texts = "['answer', 'state'].map(id => document.getElementById(id)?.textContent).join('|')";
    let texts = texts.replace("document", &format!("{page}.document"));
    format!("{texts} === {}", json!(format!("{answer}|{state}")))
}
