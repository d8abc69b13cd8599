export { quoted } from '../../quote.js';
