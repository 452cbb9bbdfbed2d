use ::redis::{Client, IntoConnectionInfo, RedisResult};

use self::sealed::Sealed;
use super::Error;

const ACTION: &str = "parse the Redis URL";

/// One URL, or a list of URLs, for [`Redis::open`](super::Redis::open).
///
/// Implemented for `&str` and `String`, and for arrays, slices and vectors of texts.
pub trait Urls: Sealed {
    #[doc(hidden)]
    fn into_urls(self) -> Vec<String>;
}

/// A seal of its own: `&'static str` is sealed in the crate for another trait.
mod sealed {
    pub trait Sealed {}
}

macro_rules! one {
    ($($url:ty),*) => {$(
        impl Sealed for $url {}

        impl Urls for $url {
            fn into_urls(self) -> Vec<String> {
                vec![self.to_string()]
            }
        }
    )*};
}

macro_rules! list {
    ($($list:ty $(, $length:ident)?;)*) => {$(
        impl<T: AsRef<str> $(, const $length: usize)?> Sealed for $list {}

        impl<T: AsRef<str> $(, const $length: usize)?> Urls for $list {
            fn into_urls(self) -> Vec<String> {
                self.iter().map(|url| url.as_ref().to_owned()).collect()
            }
        }
    )*};
}

one!(&str, String, &String);
list!(&[T]; Vec<T>; &Vec<T>; [T; N], N; &[T; N], N;);

/// Returns a client for each URL.
pub(super) fn parse(urls: impl Urls) -> Result<Vec<Client>, Error> {
    let clients = urls.into_urls().into_iter().map(open);
    let clients: Vec<_> =
        clients.collect::<Result<_, _>>().map_err(|error| Error::new(ACTION, error))?;
    let mut databases =
        clients.iter().map(|client| client.get_connection_info().redis_settings().db());
    let Some(first) = databases.next() else {
        return Err(Error::new(ACTION, "the list of URLs is empty"));
    };
    if databases.any(|database| database != first) {
        return Err(Error::new(ACTION, "the URLs name different databases"));
    }
    Ok(clients)
}

fn open(url: String) -> RedisResult<Client> {
    let info = url.into_connection_info()?;
    // Connections have a name. This command would be one more to permit, from Redis 7.2 on.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Client::open(info.set_redis_settings(settings))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn urls_are_one_text_or_a_list() {
        let url = "redis://a/2";
        let owned = url.to_owned();
        for clients in [
            parse(url),
            parse(&owned),
            parse(owned.clone()),
            parse([url]),
            parse([url].as_slice()),
            parse(vec![&owned]),
        ] {
            assert_eq!(clients.unwrap().len(), 1);
        }
        assert_eq!(parse([url, "redis://b/2"]).unwrap().len(), 2);
    }

    #[test]
    fn lists_of_unrelated_urls_are_refused() {
        let refusals: [(&[&str], &str); 3] = [
            (&[], "empty"),
            (&["redis://a/1", "redis://b/2"], "different databases"),
            (&["redis://a/", "http://b/"], "URL"),
        ];
        for (urls, reason) in refusals {
            let error = format!("{:?}", parse(urls).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
