//! `ai` with its `DefaultChatTransport`, whose requests name a chat and carry no event ids.

use crate::*;

const PACE: Pace = Pace::new(100, 10);

#[tokio::test]
async fn ai_resumes_a_chat() {
    for package in ["ai", "ai-6"] {
        for deployment in Deployment::all(PACE).await {
            let proxy = deployment.proxy([]).await;
            let arguments = [package, &proxy.url("/chat")];
            let client = Client::node(Packages::All, package, "ai.mjs", &arguments);
            resumes(&mut client.expect("the clients"), &deployment).await;
        }
    }
}

async fn resumes(client: &mut Client, deployment: &Deployment) {
    let idle = client.until("idle").await;
    assert_eq!((idle["status"].as_str(), idle["messages"].as_u64()), (Some("ready"), Some(0)));
    for (at, restored) in ["with the question", "with half of the answer"].into_iter().enumerate() {
        let resumed = client.until("resumed").await;
        assert_eq!(resumed["answers"].as_array().unwrap().len(), at + 1, "{restored}");
        assert_eq!(resumed["answers"][at], PACE.text(at), "{restored}");
        assert!(resumed["before"].as_u64().unwrap() > 0, "{restored}");
        assert_eq!(resumed["status"], "ready", "{restored}");
    }
    // One call for each of the two turns: resuming a turn made no call.
    assert_eq!(deployment.calls(), 2);

    let late = client.until("late").await;
    assert_eq!((&late["status"], &late["answer"]), (&404.into(), &PACE.text(2).into()));
    let stopped = client.until("stopped").await;
    assert_eq!(stopped["status"], 204);
    let half = stopped["answer"].as_str().unwrap();
    assert!(half.len() < PACE.text(3).len() && PACE.text(3).starts_with(half), "{half}");
    assert_eq!(client.end().await, "complete");
    assert_eq!(deployment.calls(), 4);
}
