/**
 * For `node --import`: maps the Vulkan loader of the cached driver, for processes whose environment already selects
 * that driver but whose system has no loader.
 */
import { preloadLoader, readRecord } from './cache.mjs';

const record = readRecord();
if (record) preloadLoader(record.folder);
