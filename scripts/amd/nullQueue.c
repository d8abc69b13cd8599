// A Vulkan layer that lets a driver without its hardware compile pipelines. Mesa's RADV compiles for any AMD GPU that
// RADV_FORCE_FAMILY names, but has no kernel driver to allocate, record or submit with. So memory is ordinary memory
// here, objects that the driver would ask the kernel for are numbers, and what is recorded or submitted goes nowhere.
// Nothing is computed: every result is zero.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

static PFN_vkGetInstanceProcAddr next_instance_proc;
static PFN_vkGetDeviceProcAddr next_device_proc;
static VkInstance instance_in_use;

// Calls that succeed and do nothing. All of them take arguments that nobody looks at; those that return nothing ignore
// the zero.
static VKAPI_ATTR VkResult VKAPI_CALL do_nothing(void) { return VK_SUCCESS; }

static const char *const ignored_prefixes[] = {"vkCmd", "vkBindBufferMemory", "vkBindImageMemory",
                                               "vkUpdateDescriptorSet", "vkQueueSubmit", "vkUnmapMemory"};
static const char *const ignored[] = {
    "vkBeginCommandBuffer", "vkEndCommandBuffer",        "vkResetCommandBuffer",           "vkFreeCommandBuffers",
    "vkResetCommandPool",   "vkDestroyCommandPool",      "vkTrimCommandPool",              "vkQueueWaitIdle",
    "vkDeviceWaitIdle",     "vkFlushMappedMemoryRanges", "vkInvalidateMappedMemoryRanges", "vkDestroyDevice",
    "vkWaitForFences",      "vkGetFenceStatus",          "vkResetFences",                  "vkDestroyFence",
    "vkDestroySemaphore",   "vkDestroyQueryPool",        "vkResetQueryPool",
};

// Objects that only have to differ from each other.
static VKAPI_ATTR VkResult VKAPI_CALL make_object(VkDevice device, const void *info,
                                                  const VkAllocationCallbacks *callbacks, uint64_t *object) {
  static uint64_t last = 0x10000;
  (void)device, (void)info, (void)callbacks;
  *object = __atomic_add_fetch(&last, 0x10, __ATOMIC_RELAXED);
  return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL query_results(VkDevice device, VkQueryPool pool, uint32_t first, uint32_t count,
                                                    size_t size, void *data, VkDeviceSize stride,
                                                    VkQueryResultFlags flags) {
  (void)device, (void)pool, (void)first, (void)count, (void)stride, (void)flags;
  memset(data, 0, size);
  return VK_SUCCESS;
}

// Memory: one heap that hosts and devices share. Pages exist once they are touched, so large buffers cost nothing.
struct allocation {
  size_t size;
  void *start;
};

static void one_heap(VkPhysicalDeviceMemoryProperties *properties) {
  memset(properties, 0, sizeof *properties);
  properties->memoryHeapCount = 1;
  properties->memoryHeaps[0].size = (VkDeviceSize)64 << 30;
  properties->memoryHeaps[0].flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
  properties->memoryTypeCount = 1;
  properties->memoryTypes[0].propertyFlags =
      VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
      VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
}

static VKAPI_ATTR void VKAPI_CALL memory_properties(VkPhysicalDevice device,
                                                    VkPhysicalDeviceMemoryProperties *properties) {
  (void)device;
  one_heap(properties);
}

static VKAPI_ATTR void VKAPI_CALL memory_properties2(VkPhysicalDevice device,
                                                     VkPhysicalDeviceMemoryProperties2 *properties) {
  (void)device;
  one_heap(&properties->memoryProperties);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory) {
  (void)device, (void)callbacks;
  struct allocation *own = malloc(sizeof *own);
  if (own == NULL) return VK_ERROR_OUT_OF_HOST_MEMORY;
  own->size = info->allocationSize;
  own->start = mmap(NULL, own->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (own->start == MAP_FAILED) {
    free(own);
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  }
  *memory = (VkDeviceMemory)(uintptr_t)own;
  return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL release(VkDevice device, VkDeviceMemory memory,
                                          const VkAllocationCallbacks *callbacks) {
  (void)device, (void)callbacks;
  struct allocation *own = (struct allocation *)(uintptr_t)memory;
  if (own == NULL) return;
  munmap(own->start, own->size);
  free(own);
}

static VKAPI_ATTR VkResult VKAPI_CALL map(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset,
                                          VkDeviceSize size, VkMemoryMapFlags flags, void **at) {
  (void)device, (void)size, (void)flags;
  *at = (char *)((struct allocation *)(uintptr_t)memory)->start + offset;
  return VK_SUCCESS;
}

// Buffers may lie in the one type of memory, whatever the driver says.
static PFN_vkGetBufferMemoryRequirements next_requirements;
static PFN_vkGetBufferMemoryRequirements2 next_requirements2;

static VKAPI_ATTR void VKAPI_CALL requirements(VkDevice device, VkBuffer buffer, VkMemoryRequirements *needs) {
  next_requirements(device, buffer, needs);
  needs->memoryTypeBits = 1;
}

static VKAPI_ATTR void VKAPI_CALL requirements2(VkDevice device, const VkBufferMemoryRequirementsInfo2 *info,
                                                VkMemoryRequirements2 *needs) {
  next_requirements2(device, info, needs);
  needs->memoryRequirements.memoryTypeBits = 1;
}

// Instances and devices: the next layer makes them. The link to it is in the chain of what is passed on.
static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *callbacks, VkInstance *instance) {
  VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
  while (link != NULL &&
         !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (VkLayerInstanceCreateInfo *)link->pNext;
  if (link == NULL) return VK_ERROR_INITIALIZATION_FAILED;
  next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateInstance create = (PFN_vkCreateInstance)next_instance_proc(NULL, "vkCreateInstance");
  VkResult result = create(info, callbacks, instance);
  if (result == VK_SUCCESS) instance_in_use = *instance;
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks, VkDevice *device) {
  VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
  while (link != NULL &&
         !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (VkLayerDeviceCreateInfo *)link->pNext;
  if (link == NULL) return VK_ERROR_INITIALIZATION_FAILED;
  PFN_vkGetInstanceProcAddr instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateDevice create = (PFN_vkCreateDevice)instance_proc(instance_in_use, "vkCreateDevice");
  return create(physical, info, callbacks, device);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL null_queue_device_proc(VkDevice device, const char *name);
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL null_queue_instance_proc(VkInstance instance, const char *name);

struct entry {
  const char *name;
  PFN_vkVoidFunction function;
};

#define ENTRY(name, function) {name, (PFN_vkVoidFunction)(function)}
static const struct entry replaced[] = {
    ENTRY("vkCreateFence", make_object),         ENTRY("vkCreateSemaphore", make_object),
    ENTRY("vkCreateQueryPool", make_object),     ENTRY("vkGetQueryPoolResults", query_results),
    ENTRY("vkAllocateMemory", allocate),         ENTRY("vkFreeMemory", release),
    ENTRY("vkMapMemory", map),
};
static const struct entry of_instances[] = {
    ENTRY("vkGetInstanceProcAddr", null_queue_instance_proc),
    ENTRY("vkGetDeviceProcAddr", null_queue_device_proc),
    ENTRY("vkCreateInstance", create_instance),
    ENTRY("vkCreateDevice", create_device),
    ENTRY("vkGetPhysicalDeviceMemoryProperties", memory_properties),
    ENTRY("vkGetPhysicalDeviceMemoryProperties2", memory_properties2),
    ENTRY("vkGetPhysicalDeviceMemoryProperties2KHR", memory_properties2),
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static PFN_vkVoidFunction find(const struct entry *entries, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].name, name) == 0) return entries[i].function;
  return NULL;
}

static PFN_vkVoidFunction own(const char *name) {
  for (size_t i = 0; i < COUNT(ignored_prefixes); i++)
    if (strncmp(name, ignored_prefixes[i], strlen(ignored_prefixes[i])) == 0) return (PFN_vkVoidFunction)do_nothing;
  for (size_t i = 0; i < COUNT(ignored); i++)
    if (strcmp(name, ignored[i]) == 0) return (PFN_vkVoidFunction)do_nothing;
  return find(replaced, COUNT(replaced), name);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL null_queue_device_proc(VkDevice device, const char *name) {
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)null_queue_device_proc;
  PFN_vkVoidFunction real = next_device_proc == NULL ? NULL : next_device_proc(device, name);
  if (real == NULL) return NULL; // what the driver does not have is not offered
  if (strcmp(name, "vkGetBufferMemoryRequirements") == 0) {
    next_requirements = (PFN_vkGetBufferMemoryRequirements)real;
    return (PFN_vkVoidFunction)requirements;
  }
  if (strncmp(name, "vkGetBufferMemoryRequirements2", 30) == 0) {
    next_requirements2 = (PFN_vkGetBufferMemoryRequirements2)real;
    return (PFN_vkVoidFunction)requirements2;
  }
  PFN_vkVoidFunction mine = own(name);
  return mine == NULL ? real : mine;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL null_queue_instance_proc(VkInstance instance, const char *name) {
  PFN_vkVoidFunction mine = find(of_instances, COUNT(of_instances), name);
  if (mine == NULL) mine = own(name);
  if (mine != NULL) return mine;
  return next_instance_proc == NULL ? NULL : next_instance_proc(instance, name);
}
