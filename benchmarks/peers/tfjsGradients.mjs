/**
 * TensorFlow.js' build for Node leaves the gradients of most ops out, and its ES modules cannot be imported by Node
 * as they are: the set-up bundles this file. Gradients go into a registry on the global object, which every copy of
 * the library shares.
 */
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
