import type { Change, FeedEntry, Picture } from './picture';

const FEED_ENTRIES_MAX = 200;

/** The picture after a change; sections that are not in the change stay the same objects. */
export function apply(picture: Picture, change: Change): Picture {
  const { feed, ...sections } = change;
  const next: Picture = { ...picture, ...sections };
  if (feed !== undefined) next.feed = joined(picture.feed, feed);
  return next;
}

function joined(old: FeedEntry[], fresh: FeedEntry[]): FeedEntry[] {
  const seen = old.at(-1)?.seq ?? 0;
  return [...old, ...fresh.filter((entry) => entry.seq > seen)].slice(-FEED_ENTRIES_MAX);
}
