/**
 * A cache of native objects with a bound: the most recently used ones are kept, others only as long as somebody else
 * holds them. What a living program uses is therefore always found, and what nobody uses any more is released.
 */
export class RecentCache<V extends object> {
  readonly #limit: number;
  /** In order of use, the last one most recent. */
  readonly #recent = new Map<string, V>();
  readonly #all = new Map<string, WeakRef<V>>();
  readonly #registry = new FinalizationRegistry<string>((key) => {
    if (this.#all.get(key)?.deref() === undefined) this.#all.delete(key);
  });

  /** @param limit entries that are kept although nobody else holds them */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): V | undefined {
    const value = this.#recent.get(key) ?? this.#all.get(key)?.deref();
    if (value !== undefined) this.#touch(key, value);
    return value;
  }

  set(key: string, value: V): void {
    this.#all.set(key, new WeakRef(value));
    this.#registry.register(value, key);
    this.#touch(key, value);
  }

  delete(key: string): void {
    this.#recent.delete(key);
    this.#all.delete(key);
  }

  clear(): void {
    this.#recent.clear();
    this.#all.clear();
  }

  /** Entries that the cache itself keeps alive. */
  get kept(): number {
    return this.#recent.size;
  }

  #touch(key: string, value: V): void {
    this.#recent.delete(key);
    this.#recent.set(key, value);
    if (this.#recent.size > this.#limit) this.#recent.delete(this.#recent.keys().next().value!);
  }
}

/**
 * Puts an entry last, as the one used most recently, and drops the first ones beyond `limit`: for objects that hold
 * memory of the device until they are destroyed, by those who know that nobody is using them.
 */
export function keepRecent<K, V>(all: Map<K, V>, key: K, value: V, limit: number, drop: (value: V) => void): void {
  all.delete(key);
  all.set(key, value);
  for (const [old, each] of all) {
    if (all.size <= limit) break;
    all.delete(old);
    drop(each);
  }
}
