/// A script with the functions that most scripts share.
///
/// Scripts with the flag `allow-oom` also run while Redis is out of memory. They add few bytes, or
/// a run's last event, and are needed to end, watch, find and load runs. While it is out of memory,
/// Redis refuses all other scripts before they run, so that none stops halfway.
macro_rules! script {
    ($flags:literal, $file:literal) => {
        concat!(
            "#!lua",
            $flags,
            "\n",
            include_str!("lua/version.lua"),
            include_str!("lua/common.lua"),
            include_str!(concat!("lua/", $file))
        )
    };
}

/// A script of the protocol. Its file in `lua/` documents its arguments and replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Look,
    Claim,
    Replace,
    Sync,
    End,
    Check,
    Renew,
    Join,
    Load,
}

/// The texts of all scripts, in the order of the variants of [`Script`].
pub(super) const TEXTS: [&str; 9] = [
    script!(" flags=allow-oom", "claim.lua"), // Look
    script!("", "claim.lua"),                 // Claim
    script!("", "replace.lua"),
    script!(" flags=allow-oom", "sync.lua"),
    script!(" flags=allow-oom", "end.lua"),
    script!(" flags=allow-oom", "check.lua"),
    concat!(
        "#!lua flags=allow-oom\n",
        include_str!("lua/version.lua"),
        include_str!("lua/renew.lua")
    ),
    script!(" flags=allow-oom", "join.lua"),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/load.lua")),
];

/// The hashes of the scripts, by which Redis calls them, in the order of [`TEXTS`].
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes(pub(super) [String; TEXTS.len()]);

impl Hashes {
    pub(super) fn of(&self, script: Script) -> &str {
        self.0.get(script as usize).map_or("", String::as_str)
    }
}
