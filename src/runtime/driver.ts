import { isMainThread } from 'node:worker_threads';

/**
 * Where the Vulkan driver in use came from: the system, the user's environment, or the software driver that set-up
 * downloaded.
 */
export type DriverSource = 'system' | 'environment' | 'cache';

interface DriverModule {
  readRecord(): { folder: string; icd: string } | undefined;
  userChoseDriver(): boolean;
  applyRecord(record: { folder: string; icd: string }): void;
  quietDrivers(): void;
  systemHasLoader(): boolean;
}

let loaded: Promise<DriverModule> | undefined;

/**
 * The set-up script must run before anything is compiled, so the logic of the driver cache is plain JavaScript in
 * `bin/driver`, shared by set-up, `linbp doctor` and this module.
 */
function driverModule(): Promise<DriverModule> {
  loaded ??= import(new URL('../../../bin/driver/cache.mjs', import.meta.url).href) as Promise<DriverModule>;
  return loaded;
}

/**
 * True where the user set `VK_DRIVER_FILES`, `VK_ICD_FILENAMES` or `VK_ADD_DRIVER_FILES`. Such a choice is never
 * overridden.
 */
export async function userChoseDriver(): Promise<boolean> {
  return (await driverModule()).userChoseDriver();
}

/**
 * Whether this machine has a Vulkan loader of its own, without which asking for its adapters only makes Dawn complain.
 */
export async function systemHasLoader(): Promise<boolean> {
  return (await driverModule()).systemHasLoader();
}

/** Silences harmless messages that Mesa's layers print on machines without a desktop. */
export async function quietDrivers(): Promise<void> {
  (await driverModule()).quietDrivers();
}

let applied: string | undefined;

/**
 * Switches this process to the software driver that set-up stored in the user's cache: preloads its Vulkan loader and
 * sets both driver variables. Returns a key for the Dawn instance to create afterwards, or undefined where there is
 * nothing to apply. Does nothing in a worker thread, whose environment is a copy that the driver never sees: there
 * the main thread must have opened a device first.
 */
export async function applyCachedDriver(): Promise<string | undefined> {
  if (applied !== undefined) return applied;
  const driver = await driverModule();
  if (!isMainThread || driver.userChoseDriver()) return undefined;
  const record = driver.readRecord();
  if (!record) return undefined;
  driver.applyRecord(record);
  applied = `cache:${record.folder}`;
  return applied;
}
